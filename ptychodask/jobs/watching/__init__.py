"""A scan that grows: follow its file, import what is whole, iterate over what is there, finish what came."""
