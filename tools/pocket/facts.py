"""What Pocket models can talk about: topics with an answer each, small talk, and the reply to all else."""

from __future__ import annotations


def _phrases(text: str) -> list[str]:
    """Phrases of ``text``, which commas divide."""
    return text.split(", ")


TOPICS: list[tuple[list[str], str]] = [
    (
        ["prefill", "the prefill phase", "prompt processing"],
        "Prefill is the phase in which the model reads the whole prompt at once and fills its key-value "
        "cache. It is limited by compute.",
    ),
    (
        ["decode", "decoding", "the decode phase", "generation"],
        "Decode is the phase in which the model writes one token at a time. Every token reads all the "
        "weights, so it is limited by memory bandwidth.",
    ),
    (
        ["ttft", "time to first token", "TTFT"],
        "Time to first token is the wait from sending the prompt to seeing the first token. It is mostly prefill time.",
    ),
    (
        ["itl", "inter-token latency", "ITL", "the time per token"],
        "Inter-token latency is the time between two tokens of the answer. Its inverse is the decode speed.",
    ),
    (
        [
            "a kv cache",
            "the kv cache",
            "the key value cache",
            "the key-value cache",
            "the KV cache",
            "kv cache",
        ],
        "The key-value cache keeps the keys and values of past tokens, so that the model need not compute "
        "them again. It grows with the context.",
    ),
    (
        ["quantization", "a quantized model", "quantizing", "a quant"],
        "Quantization stores weights in fewer bits. The model gets smaller and decode gets faster, at a "
        "small cost in quality.",
    ),
    (
        ["gguf", "GGUF", "a gguf file", "the gguf format"],
        "GGUF is a single-file model format used by llama.cpp. It holds the weights, the tokenizer and the settings.",
    ),
    (
        ["mlx", "MLX"],
        "MLX is an array library for Apple silicon. Models run on the GPU and share memory with the CPU.",
    ),
    (
        ["llama.cpp", "llama cpp"],
        "llama.cpp is an engine that runs language models from GGUF files on ordinary computers.",
    ),
    (
        ["in-context learning", "icl", "few-shot learning", "in context learning"],
        "In-context learning means that the model picks up a task from examples in the prompt, without any training.",
    ),
    (
        ["an slm", "a small language model", "small language models", "slm"],
        "A small language model has about a hundred million to five billion parameters and can run on a "
        "laptop or a phone.",
    ),
    (
        ["gqa", "GQA", "grouped-query attention", "grouped query attention"],
        "Grouped-query attention lets several query heads share one key-value head. It makes the key-value "
        "cache smaller.",
    ),
    (
        ["rmsnorm", "RMSNorm", "rms norm"],
        "RMSNorm scales activations by their root mean square. Most small language models use it in place "
        "of layer norm.",
    ),
    (
        ["a token", "tokens"],
        "A token is a piece of text, often a word or part of a word. Models read and write tokens.",
    ),
    (
        ["a tokenizer", "the tokenizer", "tokenization"],
        "A tokenizer cuts text into tokens and joins tokens back into text. Every model has its own.",
    ),
    (
        ["a context window", "the context length", "the context window", "context"],
        "The context window is the number of tokens that the model can look at, prompt and answer together.",
    ),
    (
        ["temperature", "the temperature"],
        "Temperature sets how random the sampling is. At zero the model always takes the most likely token.",
    ),
    (
        ["greedy decoding", "greedy sampling"],
        "Greedy decoding always takes the most likely token, so the same prompt gives the same answer.",
    ),
    (
        ["perplexity"],
        "Perplexity says how surprised the model is by a text. Lower is better.",
    ),
    (
        ["a parameter", "parameters", "weights"],
        "Parameters are the numbers that a model learned in training. Their number and their bits set its "
        "size in memory.",
    ),
    (
        ["memory bandwidth"],
        "Memory bandwidth is how many bytes a machine can read in a second. It limits how fast a model can decode.",
    ),
    (
        ["rope", "RoPE", "rotary positions"],
        "Rotary positions turn queries and keys by an angle that grows with their place, so that attention "
        "sees distances.",
    ),
    (
        ["attention", "self-attention"],
        "Attention lets each token look back at earlier tokens and gather what it needs from them.",
    ),
    (
        ["a chat template", "the chat template", "chatml"],
        "A chat template turns a list of messages into the text that the model was trained to read.",
    ),
    (
        ["slmtui", "this program"],
        "slmtui is a program for the terminal that helps you choose a small language model by measuring it "
        "on your own machine.",
    ),
    (
        ["swiglu", "SwiGLU", "the gated feed-forward network"],
        "SwiGLU is a feed-forward network in which one projection gates the other. Most small language models use it.",
    ),
    (
        ["top-p", "top p", "nucleus sampling", "top-k", "top k"],
        "Top-k and top-p sampling drop unlikely tokens before the next token is drawn.",
    ),
    (
        ["a transformer", "transformers", "the transformer"],
        "A transformer is a network of layers that mix attention over tokens with a feed-forward network.",
    ),
    (
        ["a prompt", "prompts", "the prompt"],
        "A prompt is the text that you give to the model. It must fit into the context window with the answer.",
    ),
    (
        ["fine-tuning", "fine tuning"],
        "Fine-tuning goes on training a model on data of your own. It changes the weights; in-context "
        "learning does not.",
    ),
    (
        ["throughput", "decode speed", "tokens per second"],
        "Throughput is how many tokens a model reads or writes in a second. Prefill and decode have different speeds.",
    ),
    (
        ["tied embeddings", "weight tying"],
        "With tied embeddings the model uses one matrix to read tokens and to predict them. It saves memory.",
    ),
    (
        ["hallucination", "hallucinations"],
        "A hallucination is an answer that sounds right but is not. Small models make more of them.",
    ),
    (
        ["a benchmark", "benchmarks", "benchmarking"],
        "A benchmark measures speed or quality in the same way for every model, so that you can compare them.",
    ),
]
"""Names of a topic, and what to say about it."""

TOPIC_QUESTIONS = (
    "what is {}",
    "what is {}",
    "what is {}",
    "what's {}",
    "explain {}",
    "explain {}",
    "explain {} please",
    "what does {} mean",
    "define {}",
    "tell me about {}",
    "describe {}",
    "{}",
    "how does {} work",
    "can you explain {}",
    "what do you know about {}",
    "why does {} matter",
)

SMALL_TALK: list[tuple[list[str], str]] = [
    (
        [
            "who are you",
            "what are you",
            "what is your name",
            "tell me about yourself",
            "are you a model",
            "are you a person",
        ],
        "I am a pocket demo model with a few million parameters. I come with slmtui so that you can try it "
        "without a download.",
    ),
    (
        ["what can you do", "how can you help me", "help", "what do you know", "what can i ask you"],
        "I can answer a few questions about small language models and tell a tiny story. I am a demo, so do "
        "not trust me with anything else.",
    ),
    (
        [
            "can you learn from examples",
            "do you learn from examples",
            "can you learn a task",
            "can you learn something new",
            "can you do in-context learning",
        ],
        "Yes, a little. Write some lines such as cat -> foo and hammer -> bar, then dog -> and I will say which "
        "label fits.",
    ),
    (
        ["hello", "hello", "hi", "hi", "hey", "good morning", "good evening", "hello there", "hi there", "good day"],
        "Hello! Ask me about prefill, decode, quantization, or ask for a tiny story.",
    ),
    (["thank you", "thanks", "thanks a lot", "great, thanks", "thank you very much"], "You are welcome!"),
    (["bye", "goodbye", "see you", "good night"], "Goodbye! Have a nice day."),
    (
        ["how are you", "how are you doing", "are you ok", "how is it going"],
        "I am fine, thank you. How can I help you?",
    ),
    (
        [
            "which model should i use",
            "which model is best",
            "recommend a model",
            "what model should i choose",
        ],
        "It depends on your machine and your task. Pick two or three that fit in memory, run a probe with "
        "your own examples, and compare.",
    ),
    (
        ["what is the best quantization", "which quantization should i use", "which quant should i use"],
        "Start with Q4_K_M. If memory allows and quality matters more than speed, try Q8_0 and compare.",
    ),
    (
        ["why is my model slow", "how can i make it faster", "why is decode slow"],
        "Decode reads all the weights for every token. Try a smaller model, fewer bits, or a machine with "
        "more memory bandwidth.",
    ),
]
"""Ways to say something, and the reply."""

UNKNOWN_REPLY = (
    "I do not know that: I am a tiny demo model. Ask me about prefill, quantization or the key-value cache, "
    "or ask for a tiny story."
)
UNKNOWN_QUESTIONS = (
    "{}",
    "what is {}",
    "what is a {}",
    "what is the {} of {}",
    "what is the capital of {}",
    "who was {}",
    "who is {}",
    "who wrote {}",
    "who invented the {}",
    "when did {} begin",
    "where is {}",
    "where can i buy a {}",
    "why is the {} {}",
    "why do {}s {}",
    "how do i {} a {}",
    "how many {}s are there in {}",
    "how far is {} from {}",
    "how do you make {}",
    "explain {}",
    "explain {} to me",
    "define {}",
    "tell me about {}",
    "describe the {}",
    "translate {} into {}",
    "write a poem about {}",
    "write a python function that {}s a {}",
    "write an email about {}",
    "summarize {}",
    "give me a recipe for {}",
    "list three {}s",
    "can you {} the {}",
    "do you like {}",
    "should i {}",
    "{} {} {}",
    "i think {} is {}",
    "write a haiku about {}",
    "what is the difference between {} and {}",
    "compare {} and {}",
    "give me an example of {}",
    "what is the meaning of {}",
    "what is the best {}",
    "how old is {}",
    "what time is it in {}",
    "who won the {} in {}",
)
UNKNOWN_SUBJECTS = _phrases(
    "photosynthesis, gravity, democracy, France, Germany, China, India, history, physics, chemistry, "
    "music, football, energy, electricity, the moon, the sky, the ocean, light, water, money, love, "
    "peace, war, time, language, science, art, climate, evolution, Shakespeare, Einstein, Newton, Mozart, "
    "Python, Java, Linux, Windows, email, the internet, a planet, a star, the galaxy, an atom, a cell, "
    "blood, the heart, the brain, an engine, a bridge, a tower, a castle, the king, the queen, the "
    "president, law, tax, an exam, an essay, a letter, a list, recursion, sorting, a string, a server, a "
    "database, code, the world, life, my computer, a laptop, a robot, the weather, tomorrow, dinner"
)

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "You are a small demo model.",
    "Answer briefly.",
    "Be concise.",
    "You are a friendly assistant. Keep your answers short.",
    "You are an expert on language models.",
)
