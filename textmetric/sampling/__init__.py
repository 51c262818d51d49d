"""Rows chosen by seed: shares of classes, stratified draws, and batches. No torch."""
