"""The trainer: PyTorch only. A run's folder goes in, the same folder comes out with what the run did.

    python -m training.rlhf KIND RUN_DIR          KIND: sft, reward, dpo, ilql, policy, generate, evaluate, compare

It never imports Django: whoever has a folder with a config.json and the data can train without the web app.

The contract, file by file of a run's folder:

    config.json            the whole config of one kind (config.py)
    preferences.jsonl      pairs of answers and which one people preferred (data.py)
    prompts.jsonl          conversations that want an answer
    demonstrations.jsonl   conversations with the answer to imitate
    events.jsonl           what happened, one object a line, seq rising over the run's whole life (rundir.py)
    checkpoints/           step_000200/ and so on: everything a bit-exact resume needs (checkpoint.py)
    artifact/              the finished model: safetensors, tokenizer, config, plumbline.json (model.py)
    trainer.lock           held while a trainer lives in the folder

The exit code says how it ended: 0 done or cancelled, 1 our error, 2 the person's error, 75 interrupted (run the same
command again and it resumes from the newest whole checkpoint). A sentence about every error stands in events.jsonl.

Read the files in this order; each imports only those before it:

    fields, run_config, policy_config, config, rundir
                            what is asked, and where it lies (standard library only)
    data, packing           lines to tensors; rows of unequal length without padding (row_layout, norms)
    activations, heads, token_steps, model
                            what is kept for the backward pass; what stands on a trunk; one more token a row;
                            causal models, scalar heads, adapters
    losses, advantages      tensors in, tensors out
    sampling, scoring, rewards
                            answers from a policy; what a reward model says about them, what they are paid
    optimizer, checkpoint   one step; the state of a loop, saved
    spread                  numbers counted in bins
    calibration, measures   how good a reward model is on held-out pairs
    pairs, held_out         pairs as a reward model learns from them, and is measured on them
    experience              answers appraised: rewards, advantages
    policy_update           the update that PPO, REINFORCE, A2C, RLOO and GRPO share
    values, steering        what each token is worth, and a policy steered by it
    train_sft, train_reward, train_dpo, train_ilql, train_policy
                            one loop each, top to bottom
    generate, evaluate, compare
                            a model used, a model measured, two models apart
    environment             writing an answer as other libraries' agents see it; no loop uses it
    __main__                the command
"""
