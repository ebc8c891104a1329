"""Finds what reached the media: reads the persist log that the plugin writes, and makes images from it."""
