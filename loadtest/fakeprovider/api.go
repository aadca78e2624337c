package fakeprovider

import (
	"math"
	"net/http"
	"strings"
)

// serveAPI answers the endpoints of the provider's own API; false when the path
// is none of them. Figures are fixed, so that answers can be compared.
func serveAPI(a *answer, r *http.Request, t target) bool {
	switch t.provider {
	case Zerion:
		rest, inWallets := strings.CutPrefix(t.path, "/v1/wallets/")
		address, ok := strings.CutSuffix(rest, "/portfolio")
		if !inWallets || !ok || address == "" || strings.Contains(address, "/") {
			return false
		}
		writeJSON(a, http.StatusOK, portfolio(address))
	case CoinGecko:
		switch t.path {
		case "/api/v3/ping":
			writeJSON(a, http.StatusOK, map[string]string{"gecko_says": "(V3) To the Moon!"})
		case "/api/v3/simple/price":
			simplePrice(a, r)
		default:
			return false
		}
	case Alchemy:
		if !t.isRPC() {
			return false
		}
		a.Header().Set("Allow", http.MethodPost)
		fail(a, Alchemy, http.StatusMethodNotAllowed, "JSON-RPC requests are sent with POST")
	default:
		return false
	}
	return true
}

// unauthorized refuses in the words of the provider.
func unauthorized(a *answer, p Provider) {
	switch p {
	case Zerion:
		a.Header().Set("WWW-Authenticate", `Basic realm="Zerion API"`)
		fail(a, p, http.StatusUnauthorized, "The API key is missing or invalid")
	case CoinGecko:
		writeJSON(a, http.StatusUnauthorized, object{"status": object{
			"error_code": 10002, "error_message": "API Key Missing or invalid: send it in the header x-cg-pro-api-key",
		}})
	default:
		fail(a, p, http.StatusUnauthorized, "Must be authenticated!")
	}
}

// fail answers with an error in the shape of the provider's API.
func fail(a *answer, p Provider, status int, detail string) {
	var body any
	switch p {
	case Zerion: // JSON:API errors
		body = object{"errors": []object{{"title": http.StatusText(status), "detail": detail}}}
	case CoinGecko:
		body = object{"status": object{"error_code": status, "error_message": detail}}
	case Alchemy:
		body = rpcResponse{Error: &rpcError{Code: rpcServerError, Message: detail}}
	default:
		body = object{"error": detail}
	}
	writeJSON(a, status, body)
}

type object = map[string]any

// portfolio is a JSON:API document of type portfolio.
func portfolio(address string) object {
	return object{
		"links": object{"self": "https://api.zerion.io/v1/wallets/" + address + "/portfolio"},
		"data": object{
			"type": "portfolio",
			"id":   address,
			"attributes": object{
				"positions_distribution_by_type":  object{"wallet": 1864.77, "deposited": 78.04, "borrowed": 0.98, "locked": 5.78, "staked": 66.13},
				"positions_distribution_by_chain": object{"ethereum": 1214.01, "polygon": 573.03, "arbitrum": 226.70},
				"total":                           object{"positions": 2013.74},
				"changes":                         object{"absolute_1d": 102.03, "percent_1d": 5.34},
			},
		},
	}
}

// usdPrices and perUSD are plausible, fixed prices: of a coin in dollars, of a
// dollar in a currency.
var (
	usdPrices = map[string]float64{
		"bitcoin": 65000, "ethereum": 3200, "solana": 150, "matic-network": 0.72,
		"usd-coin": 1, "tether": 1, "chainlink": 14.5, "dogecoin": 0.12,
	}
	perUSD = map[string]float64{
		"usd": 1, "eur": 0.92, "gbp": 0.79, "jpy": 151.3, "cny": 7.24, "btc": 1.0 / 65000, "eth": 1.0 / 3200,
	}
)

// simplePrice answers ids x vs_currencies; unknown ones are left out, as CoinGecko
// does.
func simplePrice(a *answer, r *http.Request) {
	query := r.URL.Query()
	for _, name := range []string{"ids", "vs_currencies"} {
		if query.Get(name) == "" {
			fail(a, CoinGecko, http.StatusUnprocessableEntity, "Missing parameter "+name)
			return
		}
	}
	prices := map[string]map[string]float64{}
	for id := range strings.SplitSeq(query.Get("ids"), ",") {
		usd, ok := usdPrices[id]
		if !ok {
			continue
		}
		prices[id] = map[string]float64{}
		for currency := range strings.SplitSeq(query.Get("vs_currencies"), ",") {
			if rate, ok := perUSD[currency]; ok {
				prices[id][currency] = math.Round(usd*rate*1e8) / 1e8
			}
		}
	}
	writeJSON(a, http.StatusOK, prices)
}
