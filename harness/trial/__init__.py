"""A program of the user's own: run on a DAX mount, cut, and looked at by a verifier of the user's own."""
