"""The table workloads with pandas: for each a function of the data that gives the run."""

WORKLOADS = {}
