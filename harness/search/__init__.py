"""Searches for Programs that nobody wrote: campaigns, small scopes, and the smallest Program of a finding."""
