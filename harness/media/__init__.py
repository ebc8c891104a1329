"""What reached the media: the persist log that the plugin writes, and the images made from it."""
