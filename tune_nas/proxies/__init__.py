"""Training-free proxies: scores of a genotype's network at initialization; higher is better."""

from tune_nas.proxies.inputs import inputs_for, proxy_inputs
from tune_nas.proxies.network_proxy import NetworkProxy
from tune_nas.proxies.proxy import Proxy, ProxyInputs
from tune_nas.proxies.proxy_factory import make_proxy

__all__ = ["NetworkProxy", "Proxy", "ProxyInputs", "inputs_for", "make_proxy", "proxy_inputs"]
