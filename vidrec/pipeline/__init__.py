"""One module a stage of the flow; commands call these and display what they return."""
