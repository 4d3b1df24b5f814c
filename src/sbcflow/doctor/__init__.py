"""Whether this machine and this project are fit to run sweeps, and what to do where they are not.

Every check looks and never changes anything; one that cannot look says so and the others go on.
"""
