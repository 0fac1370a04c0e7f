"""What is needed to place patterns on the specimen, from the counts alone: disk, orientation, scan, focus."""
