"""What is measured: the truly sparse model and its kernels beside dense masked ones and other libraries."""
