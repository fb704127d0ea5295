"""Image GANs behind one protocol; nothing here knows about three dimensions."""
