"""The commands: options, settings, one pipeline call, one display call each."""
