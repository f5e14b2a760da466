package netif

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// An IP is what ip= of the kernel command line asks for. The zero IP is a line
// without ip=: DHCP on the first wired link.
type IP struct {
	Method      Method
	Address     netip.Prefix // of Static
	Gateway     netip.Addr   // of Static, where there is one
	Device      string       // empty: the first wired link
	Nameservers []netip.Addr // two at most, as the kernel takes them
}

// A Method says how a link gets its address.
type Method string

// The methods of ip=.
const (
	Unasked Method = ""       // no ip=
	DHCP    Method = "dhcp"   // ip=dhcp, on or any
	Static  Method = "static" // an address and none
	Off     Method = "off"    // ip=none or off: only loopback
)

// The fields of the kernel's long form. The boot server and the host's name
// are of no use here: the node's name is psyops-secret's alone.
const (
	ipClient = iota
	ipServer
	ipGateway
	ipNetmask
	ipHostname
	ipDevice
	ipAutoconf
	ipDNS0
	ipDNS1
	ipNTP
	ipFields
)

// ParseIP reads the value of ip= as the kernel documents it for its nfsroot:
// a method alone, or client:server:gateway:netmask:hostname:device:method:dns:dns.
func ParseIP(value string) (IP, error) {
	var f [ipFields]string
	fields := strings.Split(value, ":")
	switch {
	case len(fields) > ipFields:
		return IP{}, fmt.Errorf("it has %d fields, more than %d", len(fields), ipFields)
	case len(fields) == 1 && strings.Count(value, ".") == 0:
		f[ipAutoconf] = value
	default:
		copy(f[:], fields)
	}
	var ip IP
	return ip, ip.parse(f)
}

func (ip *IP) parse(f [ipFields]string) (err error) {
	client, err := address("address", f[ipClient])
	if err != nil {
		return err
	}
	if ip.Method, err = method(f[ipAutoconf], client.IsValid()); err != nil || ip.Method == Off || ip.Method == Unasked {
		return err
	}
	if ip.Device = f[ipDevice]; ip.Device != "" {
		if err := checkName(ip.Device); err != nil {
			return err
		}
	}
	for _, text := range f[ipDNS0 : ipDNS1+1] {
		dns, err := address("name server", text)
		if err != nil {
			return err
		}
		if dns.IsValid() {
			ip.Nameservers = append(ip.Nameservers, dns)
		}
	}
	if ip.Method != Static {
		return nil
	}
	if ip.Address, err = prefix(client, f[ipNetmask]); err != nil {
		return err
	}
	ip.Gateway, err = address("gateway", f[ipGateway])
	return err
}

// method is what the seventh field and the presence of an address ask for.
func method(autoconf string, hasAddress bool) (Method, error) {
	switch {
	case slices.Contains([]string{"dhcp", "on", "any", "both"}, autoconf):
		return DHCP, nil
	case autoconf != "" && autoconf != "none" && autoconf != "off":
		return Unasked, fmt.Errorf("%q is no way to get an address: dhcp and none are", autoconf)
	case hasAddress:
		return Static, nil
	case autoconf == "":
		return DHCP, nil // the kernel's own default: any
	}
	return Off, nil
}

// address reads a field. Boot loaders write 0.0.0.0 for one they do not know.
func address(what, text string) (netip.Addr, error) {
	if text == "" || text == "0.0.0.0" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() || a.IsMulticast() {
		return netip.Addr{}, fmt.Errorf("%s %q is no IPv4 address", what, text)
	}
	return a, nil
}

// prefix puts a netmask to an address; without one it is the class's, as the
// kernel does it.
func prefix(client netip.Addr, netmask string) (netip.Prefix, error) {
	if netmask == "" {
		bits, _ := net.IP(client.AsSlice()).DefaultMask().Size()
		return netip.PrefixFrom(client, bits), nil
	}
	mask, err := netip.ParseAddr(netmask)
	if err != nil || !mask.Is4() {
		return netip.Prefix{}, fmt.Errorf("netmask %q is none", netmask)
	}
	bits, size := net.IPMask(mask.AsSlice()).Size()
	if size == 0 || bits == 0 {
		return netip.Prefix{}, fmt.Errorf("netmask %s is none: its ones must stand together at the front", netmask)
	}
	return netip.PrefixFrom(client, bits), nil
}
