"""Motion forecasting: samples from scenes, training, evaluation, tuning, and the weights that are released."""
