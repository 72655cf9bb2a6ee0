"""The web application: claims, verification with live progress, evidence, and the same as an HTTP API.

site       what a server is: its folder, its database, its token, its limits
hosts      which suspects it may ask
database   claims and runs as rows
shelf      claim folders and what the database says of them
worker     a process that carries runs out; a killed run is continued from its transcript
carrying   what a run does: a verification, or the digits story
pages, api the two faces of one and the same
app        the application: routes, security headers, errors
"""
