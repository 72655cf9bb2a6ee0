"""What methods that craft queries share: ensembles of frozen networks, transforms, image steps, a generator, tracing of units."""
