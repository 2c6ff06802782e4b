"""The options of the shipped parts: a model for each, and the keys of a trial that hold them."""
