"""GA-MLPs, layer by layer: pdADMM-G, and backpropagation as a pipeline, its rival."""
