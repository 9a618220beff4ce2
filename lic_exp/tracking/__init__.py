"""The run folder (the truth) and its projections into tracking stores."""
