"""Pages of the labelling side, a module for each thing people do."""
