"""Methods: functions on a `torch.nn.Module` and batches. They know no recipe, no file of data and no network family."""
