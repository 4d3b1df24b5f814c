"""What experiments share with DVC: dvc.yaml and dvc.lock, its cache, its remotes."""
