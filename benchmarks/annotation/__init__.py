"""Labelling under load: many annotators without thinking time, against the product as it is started; and a peer."""
