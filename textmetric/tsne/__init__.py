"""t-SNE: from embeddings to the plane. No torch."""
