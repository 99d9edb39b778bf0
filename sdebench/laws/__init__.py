"""Laws: of chains on Gaussian data exactly, of one-step chains in one dimension by quadrature; distances between laws."""
