import torch

from ganverse.batch import MultiViewBatch


def test_a_batch_knows_its_length_and_moves_as_a_whole() -> None:
    batch = MultiViewBatch(
        torch.rand(2, 3, 3, 4, 4),
        torch.rand(2, 3, 1, 4, 4),
        torch.zeros(2, 3, dtype=torch.long),
        torch.arange(2),
        torch.rand(2, 3, 7),
    )
    moved = batch.to("meta")
    assert len(batch) == 2
    assert {moved.images.device.type, moved.masks.device.type, moved.styles.device.type} == {"meta"}
    assert {moved.view_ids.device.type, moved.sample_index.device.type} == {"meta"}
