"""Learning: from rollouts and advantages to a step of the weights."""
