"""Full-graph training of graph neural networks over parts of the graph."""
