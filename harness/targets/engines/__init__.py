"""The ways to learn what is durable, and the images that a power cut may leave."""
