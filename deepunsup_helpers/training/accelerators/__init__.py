"""What is rare or heavy: CUDA graphs, several devices, the CPU's fastest matrix products. `fit` works without knowing more."""
