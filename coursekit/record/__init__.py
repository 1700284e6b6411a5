"""What a learner has done so far, kept between kernels, and the map that shows it."""
