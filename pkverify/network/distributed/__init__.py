"""The network route on several processes: recording under data parallelism, and decomposing in tiles."""
