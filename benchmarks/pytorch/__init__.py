"""The works of `benchmarks.works` in PyTorch: networks, losses and optimizers, written as one would for speed."""
