"""What methods that craft queries share.

Ensembles of frozen networks, transforms, image steps, a generator, tracing of units.
"""
