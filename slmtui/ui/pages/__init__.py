"""The pages of Compare: what each chart and its table show of the measured cells."""
