"""The commands: options, settings, one call, one display call each."""
