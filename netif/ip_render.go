package netif

import (
	"fmt"
	"net"
	"strings"
)

// String renders ip as ParseIP reads it; empty for the zero IP.
func (ip IP) String() string {
	var f [ipNTP]string
	switch ip.Method {
	case Unasked:
		return ""
	case Off:
		return "none"
	case DHCP:
		f[ipAutoconf] = "dhcp"
	case Static:
		f[ipAutoconf] = "none"
		f[ipClient], f[ipNetmask] = ip.Address.Addr().String(), ip.netmask()
		if ip.Gateway.IsValid() {
			f[ipGateway] = ip.Gateway.String()
		}
	}
	f[ipDevice] = ip.Device
	for i, dns := range ip.Nameservers {
		f[ipDNS0+i] = dns.String()
	}
	if ip.Method == DHCP && ip.Device == "" && len(ip.Nameservers) == 0 {
		return "dhcp"
	}
	return strings.TrimRight(strings.Join(f[:], ":"), ":")
}

func (ip IP) netmask() string {
	return net.IP(net.CIDRMask(ip.Address.Bits(), 32)).String()
}

// Interfaces renders /etc/network/interfaces for a node that has none of its
// own. wired is the first wired link; without one, and without a device that
// ip= names, there is only loopback.
func (ip IP) Interfaces(wired string) string {
	text := "auto lo\niface lo inet loopback\n"
	if ip.Device != "" {
		wired = ip.Device
	}
	if wired == "" || ip.Method == Off {
		return text
	}
	if ip.Method != Static {
		// -b: where nobody answers yet, it goes on asking in the background.
		return text + fmt.Sprintf("\nauto %s\niface %s inet dhcp\n\tudhcpc_opts -b\n", wired, wired)
	}
	text += fmt.Sprintf("\nauto %s\niface %s inet static\n\taddress %s\n\tnetmask %s\n", wired, wired, ip.Address.Addr(), ip.netmask())
	if ip.Gateway.IsValid() {
		text += fmt.Sprintf("\tgateway %s\n", ip.Gateway)
	}
	return text
}

// ResolvConf renders /etc/resolv.conf; empty where ip= names no name server.
func (ip IP) ResolvConf() string {
	var b strings.Builder
	for _, dns := range ip.Nameservers {
		fmt.Fprintf(&b, "nameserver %s\n", dns)
	}
	return b.String()
}
