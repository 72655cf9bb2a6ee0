"""The notary: commitments before accusation, signatures, time stamps, sealed evidence, and the judge.

`strict` reads JSON that nobody vouches for; `signing` signs and opens envelopes; `stamps` dates them; `commitments`
fixes what could be chosen and draws what may not be; `inventory` counts queries; `folders` seals evidence and opens it
again; `judging` reaches the numbers anew and says what was checked; `workbench` makes the judge's own models.
"""
