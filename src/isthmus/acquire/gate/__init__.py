"""The other carrier: where no connection leaves an environment, bundles go through gate folders."""
