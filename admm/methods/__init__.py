"""The methods: a folder each, with options, data, training and workers. `admm.run` finds them."""
