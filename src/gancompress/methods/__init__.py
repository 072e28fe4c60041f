"""Methods: functions on a `torch.nn.Module` and batches, independent of recipes, data files and network families."""
