"""Pictures and key points: reading, cropping, encoding, checking."""
