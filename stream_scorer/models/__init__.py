"""Models: the generator they are trained on by default, training, the model directory, the compiled form."""
