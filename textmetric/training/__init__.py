"""Training: the loop, the step by torch, the compiled step and its kernels, fine-tuning."""
