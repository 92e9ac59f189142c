"""How networks learn: losses over batches, optimisers, progress, pictures and reports."""
