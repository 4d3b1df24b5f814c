"""Estimators and generator families of the user's own: found, loaded, and held to the contract."""
