"""Training data: synthetic scenes, targets, tiles and augmentation."""
