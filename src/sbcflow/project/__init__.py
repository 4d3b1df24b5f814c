"""Projects of users: a folder with values, stages and a link to this package's workflow."""
