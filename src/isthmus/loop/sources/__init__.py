"""Where records come from, by job type. A job type is found through the entry points `isthmus.job_types`."""
