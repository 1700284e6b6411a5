"""What stands in for "Hide words: 15%, and of those 80/10/10" while it is unsolved, from public libraries."""

import torch


class _Vocabulary:
    """As much of a tokenizer as transformers' collator asks for."""

    mask_token = "[MASK]"

    def __init__(self, mask_id, V):
        self.mask_id, self.V = mask_id, V

    def convert_tokens_to_ids(self, token):
        return self.mask_id

    def __len__(self):
        return self.V


def library(ids, real, special, mask_id, V, g):
    """transformers' collator for masked language modelling; it draws on the CPU, from a seed that g gives."""
    from transformers import DataCollatorForLanguageModeling  # here, because it takes seconds to import

    collator = DataCollatorForLanguageModeling(_Vocabulary(mask_id, V))
    collator.generator = torch.Generator().manual_seed(torch.randint(2**31, (), generator=g, device=g.device).item())
    never = ~real | torch.isin(ids, torch.tensor(special, device=ids.device))
    return tuple(x.to(ids.device) for x in collator.torch_mask_tokens(ids.cpu().clone(), never.cpu()))


LIBRARY = (library,)
